"""What the source of this project may not contain, found in its syntax trees."""

import ast

# They run code that is in the data.
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle", "code", "codeop",
                  "yaml"}
# Ranks talk through MPI, and nothing else talks.
NETWORK_MODULES = {"urllib", "urllib2", "http", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "poplib",
                   "imaplib", "telnetlib", "xmlrpc", "socketserver", "ssl", "paramiko", "asyncio"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
OF_MODULES = {
    # A shell would take a name apart, and run what stands in it.
    "os": {"system", "popen", "chmod", "fchmod", "umask", "tempnam", "tmpnam"},
    "subprocess": {"getoutput", "getstatusoutput"},
    # Files with names that others can guess or that stay behind after a kill; an anonymous one has no name.
    "tempfile": {"mktemp", "mkstemp", "NamedTemporaryFile", "SpooledTemporaryFile"},
    "socket": {"create_connection", "create_server", "fromfd"}}


def violations(text):
    """["line: what"] for a Python source."""
    return [f"{node.lineno}: {what}" for node in ast.walk(ast.parse(text)) for what in _violations_of(node)]


def _violations_of(node):
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        yield from (f"imports {name}" for name in modules
                    if name.split(".")[0] in UNSAFE_MODULES | NETWORK_MODULES)
        if isinstance(node, ast.ImportFrom) and node.module in OF_MODULES:
            yield from (f"imports {node.module}.{alias.name}" for alias in node.names
                        if alias.name in OF_MODULES[node.module])
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.attr in OF_MODULES.get(node.value.id, ()):
            yield f"uses {node.value.id}.{node.attr}"
    elif isinstance(node, ast.Call):
        yield from _violations_of_call(node)


def _violations_of_call(node):
    name = ast.unparse(node.func)
    arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in BUILTINS:
        yield f"calls {name}"
    if arguments.get("shell", "False") != "False":
        yield "starts a shell"
    if name.split(".")[-1] in ("load", "save") and arguments.get("allow_pickle", "False") != "False":
        yield f"calls {name} with allow_pickle"
    if name == "torch.load" and arguments.get("weights_only") != "True":
        yield "calls torch.load without weights_only"
    if name == "socket.socket" and ast.unparse(node).find("AF_UNIX") < 0:
        yield "makes a socket that reaches beyond this machine"
    if name.startswith("subprocess.") and node.args and isinstance(node.args[0], (ast.Constant, ast.JoinedStr)):
        yield "starts a command from a string, not from a list"
