"""Make Triton's interpreter fast enough for the tests: it looks through its whole language at every call."""

import functools
import inspect

SEEN = ["pkg", "builder", "scope"]  # the arguments in triton 3.7; another version is left as it is


def remember_the_language():
    """Look up once which members of triton.language the interpreter replaces, instead of at every call.

    Before it runs a kernel, and again before every jitted function that the kernel calls, it sorts all members of five
    modules and classes to find the builtins. That was half of the time of these tests. Which members are replaced, by
    what, and when they are put back, stays as it is.
    """
    from triton.runtime import interpreter

    if list(inspect.signature(interpreter._patch_builtin).parameters) != SEEN:
        return
    is_builtin = interpreter.tl.core.is_builtin

    @functools.cache
    def builtins(package):
        return [name for name, member in inspect.getmembers(package) if is_builtin(member)]

    def patch_builtin(package, builder, scope):
        for name in builtins(package):
            member = getattr(package, name)
            if is_builtin(member):  # not one that an outer call has replaced already
                interpreter._patch_attr(package, name, member, builder, scope)

    interpreter._patch_builtin = patch_builtin
