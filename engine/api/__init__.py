"""The HTTP face: the door in front of the console, sign-in, the red button and health."""
