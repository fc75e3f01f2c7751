"""A simulated Graph API: takes sends as Meta does, answers its errors, and posts the webhooks that follow."""
