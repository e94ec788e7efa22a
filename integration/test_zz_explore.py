from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
import time
import zipfile

from commands import transfer
from osdf_jobs import fed, federation_service, job
from servers.federation_director import Trouble

__all__ = ["fed", "federation_service", "job"]

class Dud:
    exit=None; err=''; document={}
def safe(job, *a):
    try: return job.run(*a)
    except AssertionError as e:
        print('!!!DEFECT', str(e).split(chr(10))[0][:300]); return Dud

def show(run, *names):
    if run is Dud: return
    for n in names:
        r = run.request(n)
        print("  ", n, r["status"], r.get("error") and (r["error"]["code"], r["error"]["message"][:300]), len(r["attempts"]), r.get("evidence"), r.get("note"))
    if "defect" in run.err.lower() or "Traceback" in run.err: print("DEFECT", run.err[-1500:])
    print("  exit", run.exit)

def test_director(fed, job):
    fed.put("/open/g/x", b"good")
    good=f'<{fed.caches[0]}/open/g/x>; rel="duplicate"; pri=9'
    ns=("X-Pelican-Namespace","namespace=/open, require-token=false")
    cases = {
     "file": [("Link", '<file:///etc/passwd>; pri=1, '+good), ns],
     "fileonly": [("Link", '<file:///etc/passwd>; pri=1'), ns],
     "badport": [("Link", '<https://localhost:99999/open/g/x>; pri=1, '+good), ns],
     "nohost": [("Link", '<https:///open/g/x>; pri=1, '+good), ns],
     "ipv6": [("Link", '<https://[::1]:1/open/g/x>; pri=1, '+good), ns],
     "user": [("Link", f'<https://user:SECRETPW@localhost:{fed.servers.caches[0]}/open/g/x>; pri=1'), ns],
     "upper": [("Link", f'<HTTPS://LOCALHOST:{fed.servers.caches[0]}/open/g/x>; pri=1'), ns],
     "suppri": [("Link", good.replace("pri=9","pri=\xb2")), ns],
     "hugepri": [("Link", good.replace("pri=9","pri="+"9"*5000)), ns],
     "many": [("Link", ", ".join(f'<https://localhost:{i+1}/open/g/x>; pri={i}' for i in range(300))), ns],
     "nolink": [ns],
     "rel": [("Location","/elsewhere"), ns],
     "loop": [("Location", fed.director.url + "/open/g/x"), ns],
     "loopgood": [("Link", f'<{fed.director.url}/api/v1.0/director/object/open/g/x>; pri=1, '+good), ns],
     "garbage": [("Link", "<<<>>>;;;,,,"+"\xff"*100), ("Location","\xff\xfe"), ns],
     "huge": [("X-Big","a"*60000)],
     "space": [("Link", '<https://localhost :1/open/g/x>; pri=1, '+good), ns],
     "mixedpath": [("Link", '<https://localhost:1/other>; pri=1, '+good), ns],
    }
    for name, fields in cases.items():
        fed.director.troubles.append(Trouble(307, fields=tuple(fields)))
        t=time.time()
        run = safe(job, [transfer(name, fed.url("/open/g/x"), job.url(name))], "-m", "1")
        print(name, round(time.time()-t,1)); show(run, name)
        assert "SECRETPW" not in run.err and "SECRETPW" not in json.dumps(run.document)
        fed.director.troubles.clear()
    for name, tr in {"200": Trouble(200,b"data"), "json": Trouble(404, b"["*200000), "badjson": Trouble(500,b"\xff"), "204": Trouble(204), "600": Trouble(699)}.items():
        fed.director.troubles.append(tr)
        run = safe(job, [transfer(name, fed.url("/open/g/x"), job.url(name))], "-m", "1")
        print(name); show(run, name); fed.director.troubles.clear()
    for name, tr in {"nest": Trouble(200,b"["*200000), "big": Trouble(200,b'{"a":"'+b"x"*3000000+b'"}'), "http": Trouble(200, b'{"director_endpoint":"http://localhost:1"}'),
        "file": Trouble(200, b'{"director_endpoint":"file:///etc"}'), "sp": Trouble(200, b'{"director_endpoint":"https://a b/"}'),"list": Trouble(200,b"[]"),
        "redir": Trouble(302, fields=(("Location","http://localhost:1/x"),)), "rel": Trouble(302, fields=(("Location","/.well-known/pelican-configuration"),)), "foreign": Trouble(200, json.dumps({"director_endpoint": fed.director.url.upper().replace("HTTPS","https")}).encode())}.items():
        fed.director.discovery_troubles.append(tr)
        run = safe(job, [transfer(name, fed.url("/open/g/x"), job.url(name))], "-m", "1")
        print("disc", name); show(run, name); fed.director.discovery_troubles.clear()

def tarred(entries, mode="w"):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as made:
        for name, kind, arg in entries:
            info = tarfile.TarInfo(name); info.type = kind
            if kind == tarfile.REGTYPE: info.size=len(arg); made.addfile(info, io.BytesIO(arg)); continue
            if isinstance(arg, str): info.linkname = arg
            made.addfile(info)
    return data.getvalue()

def test_packs(fed, job, tmp_path):
    R,S,L,D,C,F = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE
    src = tmp_path/"hl"; src.mkdir(); (src/"a").write_bytes(b"A"*1000); os.link(src/"a", src/"b"); 
    with open(src/"sparse","wb") as f: f.truncate(50<<20); f.seek(10<<20); f.write(b"mid")
    subprocess.run(["tar","-cSf",str(tmp_path/"real.tar"),"-C",str(src),"."],check=True)
    zenc = tmp_path/"e.zip"
    zb = io.BytesIO()
    with zipfile.ZipFile(zb,"w") as z: z.writestr("x", b"data")
    enc = bytearray(zb.getvalue()); 
    i = enc.find(b"PK\x01\x02"); enc[i+8]|=1; enc[6]|=1
    zl = io.BytesIO()
    with zipfile.ZipFile(zl,"w",zipfile.ZIP_DEFLATED) as z:
        i2=zipfile.ZipInfo("l"); i2.create_system=3; i2.external_attr=(0o120777)<<16; i2.compress_type=zipfile.ZIP_DEFLATED; z.writestr(i2, b"a"*(300<<20))
    big = tarfile.TarInfo("huge"); 
    pax = tarfile.TarInfo("p"); pax.type=tarfile.XHDTYPE; pax.size=400<<20
    paxgz = gzip.compress(pax.tobuf()+bytes(400<<20), 1)
    # GNU sparse header with 1 EiB real size
    cases = {
      "real": (tmp_path/"real.tar").read_bytes(),
      "selflink": tarred([("a",S,"a"),("b",L,"a")]),
      "chain": tarred([("p/q/d",S,"../.."),("e",S,"p/q/d/../z")]),
      "chain2": tarred([("a/b",S,".."),("a/b/c",S,"../x")]),
      "chain3": tarred([("e",S,"p/q/d/../z"),("p/q/d",S,"../..")]),
      "dup": tarred([("a",R,b"1"),("a",R,b"2")]),
      "duplink": tarred([("a",R,b"1"),("a",S,"b")]),
      "dirfile": tarred([("a",D,None),("a",R,b"2")]),
      "dev": tarred([("c",C,None),("f",F,None),("g",R,b"g")]),
      "dot": tarred([(".",R,b"g")]),
      "empty": tarred([]),
      "onlydir": tarred([("d",D,None)]),
      "nul": tarred([("x\ny\x1b[31m",R,b"g")]),
      "enc": bytes(enc), "ziplink": zl.getvalue(), "pax": paxgz,
      "trunc": tarred([("a",R,b"1"*5000),("b",R,b"2"*5000)])[:9000],
      "trunc2": gzip.compress(tarred([("a",R,b"1"*5000),("b",R,b"2"*5000)]))[:-10],
      "bomb": gzip.compress(tarred([("z",R,bytes(256<<20))]),1),
    }
    for name, data in cases.items():
        fed.put(f"/open/pk/{name}", data)
        t=time.time()
        run = safe(job, [transfer(name, fed.url(f"/open/pk/{name}?pack"), job.url(name))], "-m","1")
        print(name, len(data), round(time.time()-t,1)); show(run, name)
        out = job.out/name
        if out.exists() or out.is_symlink():
            for p in ([out] if not out.is_dir() else sorted(out.rglob("*"))):
                print("     ", p.relative_to(job.out), p.is_symlink() and (os.readlink(p), os.path.realpath(p)), p.lstat().st_size)
