"""SQL of what happens to messages: their stages, funnels, and outcomes in time."""
