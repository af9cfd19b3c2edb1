const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
};

/** Serves the page's files. */
export function files(): (request: Request) => Promise<Response> {
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("Only GET and HEAD\n", { status: 405, headers: { allow: "GET, HEAD" } });
    }
    const name = pathname === "/" ? "/index.html" : pathname;
    const type = TYPES[name.slice(name.lastIndexOf(".") + 1)];
    // No slash but the first, so that requests can't leave the directory.
    if (type === undefined || !/^\/\w+\.\w+$/.test(name)) {
      return new Response("Not found\n", { status: 404 });
    }
    try {
      const body = await Deno.readFile(new URL(`page${name}`, import.meta.url));
      return new Response(body, {
        headers: {
          "content-type": type,
          "cache-control": "no-cache",
          "content-security-policy": "default-src 'self'; img-src 'self' data:",
        },
      });
    } catch {
      return new Response("Not found\n", { status: 404 });
    }
  };
}
