from __future__ import annotations
import os, time
from commands import Job, contents, partials, remove, transfer, mkdir
from osdf_jobs import fed, federation_service, job
from test_zz_explore import safe, show, Dud
from servers.faults import cut, stall, reset, fault_proxy
from servers.tls_front import tls_front
__all__ = ["fed", "federation_service", "job"]
def test_up(fed, job):
    job.environment["BEARER_TOKEN"]=fed.token()
    data=os.urandom(8<<20); (job.out/"big").write_bytes(data); (job.out/"small").write_bytes(data[:1000])
    for i,(f,nm) in enumerate(((cut(4<<20,upward=True),"big"),(reset(4<<20,upward=True),"big"),(cut(100,upward=True),"small"),(cut(0),"big"),(cut(0),"small"),(stall(4<<20,upward=True),"big"))):
        with fault_proxy(fed.servers.origin, f, first=2) as proxy, tls_front(proxy.port, fed.tls.server) as front:
            fed.change("/open", origins=(f"https://localhost:{front}",))
            n=f"u{i}"
            t=time.time(); run = safe(job, [transfer(n, job.url(nm), fed.url(f"/open/up/{n}"))], "--stall-seconds","2")
            print(i, f.kind, round(time.time()-t,1)); show(run, n)
            if run is not Dud: print([ (a["error"] and a["error"]["code"], a["error"] and a["error"]["message"][-80:]) for a in run.request(n)["attempts"]], run.request(n)["left_behind"])
            s=fed.stored(f"/open/up/{n}"); print("  ", s.exists() and s.read_bytes()==(job.out/nm).read_bytes(), s.exists() and s.stat().st_size)
def test_rec(fed, job):
    fed.put("/open/one/file", b"x")
    run = safe(job, [transfer("a", fed.url("/open/one/file?recursive"), job.url("a")), transfer("b", fed.url("/open/none?recursive"), job.url("b")), transfer("c", fed.url("/open/one?pack"), job.url("c")),transfer("d", fed.url("/open/one"), job.url("d")),])
    show(run, *"abcd"); print(sorted(job.out.rglob("*")))
