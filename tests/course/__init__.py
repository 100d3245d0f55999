"""The course: isolation, hand-ins, scores."""
