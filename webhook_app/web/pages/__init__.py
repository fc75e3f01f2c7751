"""The pages for people: is it bad, since when, what broke, for whom, what to do. They read the rows the API reads."""
