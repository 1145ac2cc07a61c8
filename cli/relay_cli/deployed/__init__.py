"""What a deployed stack holds, read and changed through AWS's interfaces."""
