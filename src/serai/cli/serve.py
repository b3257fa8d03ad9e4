"""`serai serve`: worker processes over a directory that exists.

Owns nothing but the command. Settings come from the environment; flags override them. Never starts
a database: `serai dev` does.
"""

from __future__ import annotations

from serai.app.settings import Settings, SettingsError, load_settings
from serai.cli.run import console, run


def serve(*, host: str | None = None, port: int | None = None, workers: int | None = None) -> int:
    """Serve the API until interrupted. The directory is `SERAI_DIRECTORY_URL`.

    Parameters
    ----------
    host
        Address to listen on.
    port
        Port to listen on.
    workers
        Processes.
    """
    from serai.app.serving import free_address, serve_workers

    settings = load_settings(host=host, port=port, workers=workers)
    if not settings.directory_url:
        raise SettingsError("SERAI_DIRECTORY_URL is not set. For a laptop, use `serai dev`.")
    free_address(settings.host, settings.port)
    run(_check(settings))
    console.print(f"Serai listens on http://{settings.host}:{settings.port}")
    serve_workers(settings)
    return 0


async def _check(settings: Settings) -> None:
    """Raise here, once, what would end every worker at its start, again and again."""
    from serai.app.runtime import open_runtime

    async with open_runtime(settings):
        pass  # it opened: the directory answers and the schema fits
