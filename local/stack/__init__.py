"""The application on this machine: the emulator of AWS, and what is deployed to it."""
