/** A user's page: the package built as `npm run build` builds it, installed, and taken into the page by Vite with no settings. */
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build as bundle } from "tsup";
import { build as buildPage } from "vite";

const sources = fileURLToPath(new URL("page/", import.meta.url));

/** Without these a page gets no memory that threads can share. */
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

const types: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript" };

export interface Site {
  /** Addresses of the page: with the headers for cross-origin isolation, and without. */
  readonly isolated: string;
  readonly plain: string;
  close(): Promise<void>;
}

export async function openSite(): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), "throughtime-page-"));
  const page = await buildIn(folder);
  const [isolated, plain] = [await serve(page, isolation), await serve(page, {})];
  const addressOf = (server: Server): string => `http://localhost:${(server.address() as AddressInfo).port}/`;
  return {
    isolated: addressOf(isolated),
    plain: addressOf(plain),
    async close() {
      for (const server of [isolated, plain]) server.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** A folder with the finished page. */
async function buildIn(folder: string): Promise<string> {
  const installed = join(folder, "node_modules/throughtime");
  await mkdir(installed, { recursive: true });
  await cp("package.json", join(installed, "package.json"));
  const outDir = join(installed, "dist");
  await bundle({ config: "tsup.config.ts", outDir, dts: false, sourcemap: false, silent: true });
  await cp(sources, folder, { recursive: true });
  await buildPage({ root: folder, configFile: false, logLevel: "error" });
  return join(folder, "dist");
}

async function serve(folder: string, headers: Readonly<Record<string, string>>): Promise<Server> {
  const server = createServer(async ({ url = "/" }, response) => {
    const { pathname } = new URL(url, "http://localhost");
    const file = join(folder, pathname.endsWith("/") ? `${pathname}index.html` : pathname);
    try {
      const body = await readFile(file);
      response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream", ...headers });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((listening) => server.listen(0, "localhost", listening));
  return server;
}
