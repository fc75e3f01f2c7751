"""Decides about findings: states that last a week or come back every day, apart from incidents. Values only."""
