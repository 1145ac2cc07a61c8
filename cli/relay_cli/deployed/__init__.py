"""The resources of a deployed stack, read and changed through AWS's APIs."""
