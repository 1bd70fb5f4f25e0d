"""Starting: what may be opened to whom."""

import pytest
from medseg_ui.launch import check_address, read_login

from medseg import OptionError


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.0.0.5"])
def test_this_computers_own_address_needs_nothing(address):
    assert check_address(address, login=False, without_login=False) is False


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "viewer.example.org"])
def test_the_network_is_refused_without_login_unless_it_was_asked_for_and_then_with_a_warning(address):
    with pytest.raises(OptionError, match="--login FILE"):
        check_address(address, login=False, without_login=False)
    assert check_address(address, login=True, without_login=False) is False
    assert check_address(address, login=False, without_login=True) is True


def test_a_login_file_without_its_settings_is_refused_with_their_names(tmp_path):
    (tmp_path / "login.toml").write_text('[auth]\nclient_id = "viewer"\n')
    with pytest.raises(OptionError, match="redirect_uri, cookie_secret, client_secret, server_metadata_url"):
        read_login(tmp_path / "login.toml")
    (tmp_path / "login.toml").write_text("no toml")
    with pytest.raises(OptionError, match="not TOML"):
        read_login(tmp_path / "login.toml")
