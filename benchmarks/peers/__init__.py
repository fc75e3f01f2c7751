"""Other implementations of the receiver, in the usual style of each framework. They share no code with the service."""
