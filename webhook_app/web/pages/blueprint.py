"""dashboard_blueprint: the pages put together. What each shows is its own module's business."""

from flask import Blueprint

from webhook_app.web.api.endpoints import ApiContext
from webhook_app.web.pages import wording
from webhook_app.web.pages.appearance import add_appearance
from webhook_app.web.pages.assets import add_assets
from webhook_app.web.pages.counts.codes import add_code_pages
from webhook_app.web.pages.counts.failures import add_failure_pages
from webhook_app.web.pages.counts.overview import add_overview
from webhook_app.web.pages.frame import PageContext, secure
from webhook_app.web.pages.incidents.alert_actions import add_alert_acts
from webhook_app.web.pages.incidents.alerts import add_alert_pages
from webhook_app.web.pages.incidents.rules import add_rule_pages
from webhook_app.web.pages.incidents.silences import add_silence_pages
from webhook_app.web.pages.navigation import pages
from webhook_app.web.pages.operations.backtests import add_backtest_pages
from webhook_app.web.pages.operations.sessions import Sessions
from webhook_app.web.pages.operations.sign_in import add_sign_in
from webhook_app.web.pages.operations.system import add_system_pages
from webhook_app.web.pages.people.contact_actions import add_contact_actions
from webhook_app.web.pages.people.contacts import add_contact_pages
from webhook_app.web.pages.people.messages import add_message_pages
from webhook_app.web.pages.receiving.quarantine import add_quarantine_pages
from webhook_app.web.pages.suppressions.changes import add_suppression_log
from webhook_app.web.pages.suppressions.imports import add_suppression_import
from webhook_app.web.pages.suppressions.suppressions import add_suppression_pages
from webhook_app.web.rules_in_force import rules_in_force


def dashboard_blueprint(room: ApiContext) -> Blueprint:
    """Every page under /, with its files under /static."""
    blueprint = Blueprint("dashboard", __name__)
    settings = room.settings
    sessions = Sessions(settings.meta_app_secret, settings.admin_api_key, room.keyring)
    desk = PageContext(room, sessions, {rule.name: rule for rule in rules_in_force(settings) or ()})
    for name, spell in wording.FILTERS.items():
        blueprint.app_template_filter(name)(spell)
    blueprint.app_template_global()(pages)
    add_appearance(blueprint)
    add_assets(blueprint)
    add_sign_in(blueprint, desk)
    add_overview(blueprint, desk)
    add_alert_pages(blueprint, desk)
    add_alert_acts(blueprint, desk)
    add_silence_pages(blueprint, desk)
    add_rule_pages(blueprint, desk)
    add_backtest_pages(blueprint, desk)
    add_failure_pages(blueprint, desk)
    add_code_pages(blueprint, desk)
    add_message_pages(blueprint, desk)
    add_contact_pages(blueprint, desk)
    add_contact_actions(blueprint, desk)
    add_suppression_pages(blueprint, desk)
    add_suppression_import(blueprint, desk)
    add_suppression_log(blueprint, desk)
    add_system_pages(blueprint, desk)
    add_quarantine_pages(blueprint, desk)
    secure(blueprint)
    return blueprint
