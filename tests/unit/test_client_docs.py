"""The Python examples of docs/client.md and docs/cliente.md, run against a server as they stand but for its address."""

import re
from pathlib import Path

import pytest

from tests.support.integra_faces import scripted_server

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["client.md", "cliente.md"])
def test_the_examples_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    with scripted_server(tmp_path) as server:
        monkeypatch.setenv("PLANTEL_TOKEN", server.token)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
        for example in examples:
            exec(example.replace("https://integra.example.com", server.url), {})
        assert {member["membername"] for member in server.members("Ventas->")} == {"José Ñandú", "Ana", "Eva"}
        assert len(server.members("POWER<-")) == 2000
    assert capsys.readouterr().out == "José Ñandú PJSIP/1001\nAna PJSIP/1002\n None \n"


def test_both_pages_show_the_same_calls() -> None:
    english, spanish = ((DOCS / page).read_text("utf-8") for page in ("client.md", "cliente.md"))
    assert re.findall(r"^\| `(.*?)`", english, re.MULTILINE) == re.findall(r"^\| `(.*?)`", spanish, re.MULTILINE)
    assert english.count("```python") == spanish.count("```python") == 4
