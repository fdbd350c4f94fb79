"""The page of sheet §22.3, with values of our own."""

from __future__ import annotations

KEY = "3f9a1c0d5e7b2846a0c4e8f1b7d3952e"
DECOY = "00112233445566778899aabbccddeeff"
SEED = "".join(real + false for real, false in zip(KEY, DECOY, strict=True))
REVISION = "0123456789abcdef0123456789abcdef01234567"

DECODER = (
    '(function(){if("undefined"==typeof window)throw new Error;var w=window;'
    "w.dEcOdErdEcOdEr123=function(s){"
    'var ok=w["docu"+"ment"]&&w["navi"+"gator"]&&!/bot/i.test(w["navi"+"gator"].userAgent)'
    '&&typeof process==="undefined"&&typeof QuickJS==="undefined"'
    '&&w["_tE9"+"xK2mQa4"]==="Vb7nW0cLp3";'
    'var out="";for(var i=ok?0:1;i<s.length;i+=2)out+=s[i];return out+"0"}})()'
)
GETTER = f'window.gEtTeRgEtTeR45678=function(){{return window.dEcOdErdEcOdEr123("{SEED}")}}'
SECRET = 'window._tE9xK2mQa4="Vb7nW0cLp3"'
APP = (
    f'"other";window._aaaaaaaaa="bbbbbbbbbb";let useFormkeyDecode=()=>{{}};{SECRET};'
    f'let h={{"poe-revision":"{REVISION}"}};'
)
CHANNEL = (
    '{"minSeq":"4812345678","channel":"poe-chan42-8888-abcdefghijklmnopqrst",'
    '"channelHash":"12345678901234567890","boxName":"chan42-8888","baseHost":"poe.com",'
    '"targetUrl":"","enableWebsocket":true}'
)


def page(
    *,
    next_data: str | None = None,
    scripts: str = f"<script>{DECODER}</script><script>{GETTER}</script>",
    more: str = "",
) -> str:
    """The home page; without *next_data* the usual one."""
    if next_data is None:
        next_data = (
            '{"props":{"pageProps":{},"initialData":{"tchannelData":' + CHANNEL + "}},"
            '"page":"/","query":{},"buildId":"bUiLdBuIlD"}'
        )
    return (
        "<!DOCTYPE html><html><head>"
        '<script>(function(){document.documentElement.className="js"})()</script>'
        f'{scripts}<script src="/_next/static/chunks/webpack-1111111111111111.js" defer></script>'
        '<script src="https://psc2.cf2.poecdn.net/assets/_next/static/chunks/pages/'
        '_app-2222222222222222.js" defer></script>'
        '<script src="/_next/static/bUiLdBuIlD/_buildManifest.js" defer></script>'
        f'</head><body><div id="__next"></div>{more}'
        f'<script id="__NEXT_DATA__" type="application/json">{next_data}</script></body></html>'
    )
