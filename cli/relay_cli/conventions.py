"""What all commands have in common: the global options, ``help`` and ``ls``, and help texts without Python's types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup, TyperOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

GLOBAL = "Global options, before or after the command"
"""The panel of the help texts with the options that every command accepts; the root command declares them."""

_ALIASES = {"ls": "list"}


def _shared(ctx: typer.Context) -> list[Any]:
    """Return the options that a command shares with the root; none for the root itself."""
    root = ctx.find_root()
    if root is ctx:
        return []
    return [each for each in root.command.params if getattr(each, "rich_help_panel", None) == GLOBAL]


def _with_shared(ctx: typer.Context, params: Sequence[Any]) -> list[Any]:
    """Add the shared options, and leave types out of the help on flags, which have no value, and on arguments."""
    for each in params:
        if each.param_type_name == "argument":
            each.display_type_rich = _no_type  # its name says what it is
        elif isinstance(each, TyperOption) and each.is_flag:
            each.metavar = ""
    return [*params, *_shared(ctx)]


def _no_type(ctx: typer.Context) -> None:
    """Show no type."""


def _apply_shared(ctx: typer.Context) -> None:
    """Let a global option that was given after the command replace the one before it."""
    for each in _shared(ctx):
        value, source = ctx.params.pop(each.name, None), ctx.get_parameter_source(each.name)
        given = source is not None and source.name == "COMMANDLINE"  # the root has read the environment
        if each.expose_value and given:
            setattr(ctx.obj, each.name, value)


class RelayCommand(TyperCommand):
    """A command that accepts the global options."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401  typer's own context
        """Return its parameters and the global options."""
        return _with_shared(ctx, super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  as in the parent
        """Run it with the global options that were given after its name."""
        _apply_shared(ctx)
        return super().invoke(ctx)


class RelayGroup(TyperGroup):
    """A group that accepts the global options, and knows ``help`` and, if it has a ``list``, ``ls``."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401  typer's own context
        """Return its parameters and the global options."""
        return _with_shared(ctx, super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  as in the parent
        """Run its command with the global options that were given after the group's name."""
        _apply_shared(ctx)
        return super().invoke(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401  as in the parent
        """Return a command by its name or an alias of it."""
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401  as in the parent
        """Turn ``help COMMAND`` into ``COMMAND --help``."""
        if args[0] != "help":
            return super().resolve_command(ctx, args)
        if ctx.resilient_parsing:  # the shell completes what follows
            return super().resolve_command(ctx, args[1:]) if args[1:] else (None, None, [])
        if not args[1:]:
            self.parse_args(ctx, ["--help"])  # prints it and exits
        return super().resolve_command(ctx, [*args[1:], "--help"])
