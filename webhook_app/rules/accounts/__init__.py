"""Decisions about what Meta reports on accounts, numbers and templates."""
