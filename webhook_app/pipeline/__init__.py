"""The steps of the pipeline. Each opens its own transactions; steps share data only through tables."""
