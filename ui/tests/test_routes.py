"""Our own routes: volumes for their owners, limits for everybody."""

import gzip
import re
import time

import numpy as np
import pytest
from medseg_ui.identity import COOKIE
from medseg_ui.jobs import ENDED
from medseg_ui.routes import REFUSALS, make_routes
from medseg_ui.service import Service, Settings
from starlette.applications import Starlette
from starlette.testclient import TestClient

import medseg
from medseg import Volume

BATCH = "0123456789abcdef"


@pytest.fixture
def service(tmp_path):
    settings = Settings(data_folder=tmp_path / "data", work_folder=tmp_path / "work", upload_limit_bytes=1000)
    made = Service(settings)
    yield made
    made.close()


@pytest.fixture
def new_client(service):
    """Makes browsers: each with a cookie of its own, and the token that Streamlit would give it."""

    def make():
        app = Starlette(routes=make_routes(service), exception_handlers=REFUSALS)
        cookies = {COOKIE: service.owners.new_cookie(), "_streamlit_xsrf": "token"}
        return TestClient(app, cookies=cookies, headers={"X-Xsrftoken": "token"})

    return make


def owner_of(service, client):
    return service.owners.owner(dict(client.cookies))


def case_of(service, client):
    """A case of a (3, 4, 5) image, read already."""
    workspace = service.workspace(owner_of(service, client))
    source = service.storage.new_folder("upload") / "image.nii"
    medseg.save(Volume(np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.eye(4)), source)
    case = workspace.open(source, title="head")
    while not (case.facts or case.problem):
        time.sleep(0.05)
    assert case.problem == ""
    return case


def test_a_volume_is_sent_to_its_owner_as_it_is_and_to_nobody_else(service, new_client):
    mine, other = new_client(), new_client()
    path = service.storage.new_folder("case") / "volume.nii"
    path.write_bytes(b"voxels" * 1000)
    url = f"/medseg/file/{service.storage.share(path, owner=owner_of(service, mine))}"
    answer = mine.get(url)
    assert answer.content == path.read_bytes()
    assert answer.headers["content-encoding"] == "identity"
    other.cookies.delete(COOKIE)
    assert new_client().get(url).status_code == other.get(url).status_code == 404


def test_a_download_has_the_name_that_we_give(service, new_client):
    mine = new_client()
    path = service.storage.new_folder("case") / "labels.nii.gz"
    path.write_bytes(b"labels")
    token = service.storage.share(path, owner=owner_of(service, mine), name="brain-mask.nii.gz")
    disposition = mine.get(f"/medseg/file/{token}?download=1").headers["content-disposition"]
    assert disposition == 'attachment; filename="brain-mask.nii.gz"'


def test_an_upload_keeps_nothing_of_its_files_name_but_the_ending(service, new_client):
    mine = new_client()
    name = "DOE%5EJANE_1970.nii.gz"
    answer = mine.put(f"/medseg/upload/{BATCH}/0", content=b"bytes", headers={"X-File-Name": name})
    assert answer.json() == {"taken": 0}
    (arrival,) = service.uploads.take(owner_of(service, mine), BATCH)
    assert (arrival.path.name, arrival.title) == ("00000.nii.gz", "DOE^JANE_1970")
    assert not [path for path in service.storage.root.rglob("*") if "DOE" in path.name]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/cron.d/x", "..\\x.nii"])
def test_an_uploads_name_leads_nowhere(service, new_client, name):
    mine = new_client()
    mine.put(f"/medseg/upload/{BATCH}/0", content=b"bytes", headers={"X-File-Name": name})
    (arrival,) = service.uploads.take(owner_of(service, mine), BATCH)
    assert arrival.path.is_relative_to(service.storage.root)


def test_too_much_is_refused_and_nothing_is_kept(service, new_client):
    mine = new_client()
    assert mine.put(f"/medseg/upload/{BATCH}/0", content=bytes(600)).status_code == 200
    assert mine.put(f"/medseg/upload/{BATCH}/1", content=bytes(600)).status_code == 413
    unannounced = (bytes(100) for _ in range(9))
    assert mine.put(f"/medseg/upload/{BATCH}/2", content=unannounced).status_code == 413
    assert [path.name for path in service.storage.root.glob("upload-*/*")] == ["00000"]


def test_another_sites_page_can_send_nothing(service, new_client):
    mine = new_client()
    mine.headers["X-Xsrftoken"] = "guess"
    assert mine.put(f"/medseg/upload/{BATCH}/0", content=b"x").status_code == 403
    assert mine.put("/medseg/mask/case/draft", content=b"x").status_code == 403


def test_a_drawing_becomes_a_result_and_the_next_save_replaces_it(service, new_client):
    mine = new_client()
    case = case_of(service, mine)
    drawn = np.zeros((3, 4, 5), np.uint8)
    drawn[1, 2, 3] = 2
    first = mine.put(f"/medseg/mask/{case.id}/draft", content=gzip.compress(drawn.tobytes(order="F"))).json()
    drawn[0, 0, 0] = 1
    body = gzip.compress(drawn.tobytes(order="F"))
    second = mine.put(f"/medseg/mask/{case.id}/{first['result']}", content=body).json()
    assert second["result"] == first["result"]
    assert second["id"] != first["id"]
    (result,) = case.results
    assert np.array_equal(medseg.load(result.labels, kind="labels").array, drawn)
    assert [entry["voxels"] for entry in result.entries[:2]] == [1, 1]


def test_a_drawing_that_does_not_fit_is_refused_with_a_sentence(service, new_client):
    mine = new_client()
    case = case_of(service, mine)
    answer = mine.put(f"/medseg/mask/{case.id}/draft", content=gzip.compress(bytes(59)))
    assert answer.status_code == 422
    assert re.search("59 voxels; the image has 60", answer.text)
    assert case.results == []


def test_nobody_draws_on_anothers_image(service, new_client):
    case = case_of(service, new_client())
    answer = new_client().put(f"/medseg/mask/{case.id}/draft", content=gzip.compress(bytes(60)))
    assert answer.status_code == 404


def test_plain_slices_are_for_the_owner_too(service, new_client):
    mine = new_client()
    case = case_of(service, mine)
    token = service.storage.share(case.volume, owner=owner_of(service, mine))
    url = f"/medseg/slice/{token}?axis=2&index=1&low=0&high=60"
    assert mine.get(url).headers["content-type"] == "image/png"
    assert new_client().get(url).status_code == 404
    assert mine.get(url.replace("index=1", "index=9")).status_code == 422


def test_a_closed_image_leaves_nothing_on_the_disk(service, new_client):
    mine = new_client()
    case = case_of(service, mine)
    mine.put(f"/medseg/mask/{case.id}/draft", content=gzip.compress(bytes(60)))
    workspace = service.workspace(owner_of(service, mine))
    while any(job.state not in ENDED for job in workspace.jobs):
        time.sleep(0.05)
    workspace.close(case)
    assert [path for path in service.storage.root.rglob("*") if path.is_file()] == []
