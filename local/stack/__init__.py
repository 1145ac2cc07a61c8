"""The application on this machine: the emulator of AWS, and the stack that is deployed to it."""
