"""dashboard_blueprint: the pages put together. What each shows is its own module's business."""

from flask import Blueprint

from webhook_app.web.dashboard import wording
from webhook_app.web.dashboard.alert_acts import add_alert_acts
from webhook_app.web.dashboard.alert_pages import add_alert_pages
from webhook_app.web.dashboard.appearance import add_appearance
from webhook_app.web.dashboard.assets import add_assets
from webhook_app.web.dashboard.backtest_pages import add_backtest_pages
from webhook_app.web.dashboard.code_pages import add_code_pages
from webhook_app.web.dashboard.contact_actions import add_contact_actions
from webhook_app.web.dashboard.contact_pages import add_contact_pages
from webhook_app.web.dashboard.desk import Desk, secure
from webhook_app.web.dashboard.failure_pages import add_failure_pages
from webhook_app.web.dashboard.message_pages import add_message_pages
from webhook_app.web.dashboard.navigation import pages
from webhook_app.web.dashboard.overview_pages import add_overview
from webhook_app.web.dashboard.quarantine_pages import add_quarantine_pages
from webhook_app.web.dashboard.rule_pages import add_rule_pages
from webhook_app.web.dashboard.sessions import Sessions
from webhook_app.web.dashboard.sign_in import add_sign_in
from webhook_app.web.dashboard.silence_pages import add_silence_pages
from webhook_app.web.dashboard.suppression_import import add_suppression_import
from webhook_app.web.dashboard.suppression_log import add_suppression_log
from webhook_app.web.dashboard.suppression_pages import add_suppression_pages
from webhook_app.web.dashboard.system_pages import add_system_pages
from webhook_app.web.endpoints import Room
from webhook_app.web.rules_in_force import rules_in_force


def dashboard_blueprint(room: Room) -> Blueprint:
    """Every page under /, with its files under /static."""
    blueprint = Blueprint("dashboard", __name__)
    settings = room.settings
    sessions = Sessions(settings.meta_app_secret, settings.admin_api_key, room.keyring)
    desk = Desk(room, sessions, {rule.name: rule for rule in rules_in_force(settings) or ()})
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
