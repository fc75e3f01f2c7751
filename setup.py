"""The packages of the wheel: webhook_app, and the migrations as a part of it. All else is in pyproject.toml."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["webhook_app*"]),
        "webhook_app.migrations",
        "webhook_app.migrations.versions",
    ],
    package_dir={"webhook_app.migrations": "migrations"},
)
