"""`webhook-app codes`: the catalogue of Meta's error codes."""

import click


@click.command()
@click.argument("code", type=int, required=False)
@click.argument("subcode", type=int, required=False)
def codes(code: int | None, subcode: int | None) -> None:
    """Explain one of Meta's error codes; without CODE, print the whole catalogue as Markdown."""
    from webhook_app.whatsapp.errors import catalogue, catalogue_page  # noqa: PLC0415

    if code is None:
        click.echo(catalogue_page.markdown_page(catalogue.catalogue(), catalogue.sources()), nl=False)
    else:
        click.echo(catalogue_page.entry_text(catalogue.explain(code, subcode)))
