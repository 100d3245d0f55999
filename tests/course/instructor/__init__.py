"""Answers and cases to the second bank, as a teacher keeps them: copy this folder, and change its numbers."""
