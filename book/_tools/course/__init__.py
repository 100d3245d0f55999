"""Assignments, cut out of the chapters by the roles of their cells: ``make course``."""
