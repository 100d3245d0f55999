"""The course: answers run in processes of their own, and hand-ins become scores, feedback and tables.

``python -m resnorm_lib.course grade FOLDER`` grades a folder of notebooks. An answer never runs in the process that
judges it: :class:`resnorm_lib.course.answer.House` runs it in a child with limits, and what comes back are numbers
and what happened to the arguments.
"""
