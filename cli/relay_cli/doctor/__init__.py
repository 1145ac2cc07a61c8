"""The checks of ``relay doctor``: each looks at one thing of a deployed relay, and changes nothing."""
