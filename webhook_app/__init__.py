"""Receives WhatsApp Cloud API webhooks, counts failures, alerts, and says whom not to write to."""
