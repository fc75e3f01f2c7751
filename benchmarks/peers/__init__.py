"""The other ways to write the receiver, each as its own people would. They share no code with the service."""
