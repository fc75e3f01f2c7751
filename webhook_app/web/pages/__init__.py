"""The pages under /: a table of pages, declared in one file per subject. Decisions and SQL live below."""

from flask import Blueprint, request

from webhook_app.channels.notification import without_controls
from webhook_app.web import security_headers
from webhook_app.web.api.endpoints import ApiContext
from webhook_app.web.pages import appearance, assets, errors, wording
from webhook_app.web.pages.accounts import doctor, templates
from webhook_app.web.pages.counts import billing, codes, failures, overview
from webhook_app.web.pages.incidents import alerts, findings, incident_actions, incidents, rules, silences
from webhook_app.web.pages.navigation import NAVIGATION
from webhook_app.web.pages.operations import backtests, sign_in, system
from webhook_app.web.pages.operations.sessions import Sessions
from webhook_app.web.pages.page import PageContext
from webhook_app.web.pages.people import contact_actions, contacts, messages
from webhook_app.web.pages.receiving import quarantine
from webhook_app.web.pages.routes import add_page
from webhook_app.web.pages.suppressions import changes, imports, suppressions
from webhook_app.web.rules_in_force import rules_in_force

AREAS = (
    appearance,
    assets,
    sign_in,
    overview,
    incidents,
    incident_actions,
    findings,
    alerts,
    silences,
    rules,
    backtests,
    failures,
    codes,
    billing,
    messages,
    contacts,
    contact_actions,
    suppressions,
    imports,
    changes,
    doctor,
    templates,
    system,
    quarantine,
)
PAGES = tuple(page for area in AREAS for page in area.PAGES)


def pages_blueprint(api: ApiContext) -> Blueprint:
    """Every page of the table, with the filters and globals of their templates."""
    blueprint = Blueprint("pages", __name__)
    settings = api.settings
    rules_by_name = {rule.name: rule for rule in rules_in_force(settings) or ()}
    context = PageContext(api, Sessions(settings.admin_api_key), rules_by_name)
    for page in PAGES:
        add_page(blueprint, page, context)
    for name, spell in wording.FILTERS.items():
        blueprint.app_template_filter(name)(spell)
    blueprint.record_once(lambda state: setattr(state.app.jinja_env, "finalize", _shown))
    blueprint.app_template_global("asset")(assets.assets().url)
    blueprint.app_template_global("plotly_styles")(lambda: assets.assets().plotly_styles)
    blueprint.app_context_processor(
        lambda: {
            "navigation": NAVIGATION,
            "is_shadow": settings.suppress == "shadow",
            "theme": appearance.theme(request),
            "themes": appearance.THEMES,
        }
    )
    security_headers.secure_dashboard(blueprint)
    errors.install(blueprint)
    return blueprint


def _shown(value: object) -> object:
    """What a template shows of a value: made-up names reverse no text. Markup is made by our own templates."""
    return without_controls(value) if type(value) is str else value
