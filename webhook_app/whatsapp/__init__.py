"""Parses WhatsApp webhooks, contacts and error codes into values. No I/O, clock or framework here."""
