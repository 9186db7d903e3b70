import type { ServerResponse } from 'node:http';
import type { HttpAdapterHost } from '@nestjs/core';
import { SCRIPT } from '../client/script.js';
import { STYLESHEET } from '../html/stylesheet.js';
import { HEADERS } from './headers.js';

/** Answers requests of Express and of Fastify. Interceptors do not see these answers. */
export class Responder {
  constructor(private readonly host: HttpAdapterHost) {}

  /** The address of a request, with its search. */
  addressOf(request: unknown): string {
    return this.host.httpAdapter.getRequestUrl(request) as string;
  }

  page(response: unknown, body: string, status: number, language: string): void {
    this.send(response, body, status, pageHeaders(language));
  }

  /** Begins a page that is sent piece by piece. */
  pageStream(response: unknown, language: string): ServerResponse {
    return this.stream(response, pageHeaders(language));
  }

  /** Begins server-sent events. */
  eventStream(response: unknown): ServerResponse {
    return this.stream(response, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  }

  /** Sends what a page shows, with its version; 204 if there is nothing new, and 503 if there is nothing at all. */
  snapshot(
    response: unknown,
    snapshot: { readonly html: string; readonly version: string } | undefined,
    status: number,
  ) {
    const headers = { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' };
    const version: Record<string, string> = snapshot ? { 'Spark-Version': snapshot.version } : {};
    this.send(response, snapshot?.html ?? '', status, { ...headers, ...version });
  }

  /** Calls back once when the connection of a request has ended, before or after the answer. */
  onClose(response: unknown, closed: () => void): void {
    rawOf(response).once('close', closed);
  }

  /** Sends the browser to another page. The address is relative to that of the request. */
  redirect(response: unknown, to: string, status: 303 | 307): void {
    this.send(response, '', status, { Location: to, 'Cache-Control': 'no-store' });
  }

  stylesheet(response: unknown): void {
    this.send(response, STYLESHEET, 200, { 'Content-Type': 'text/css; charset=utf-8', ...KEPT });
  }

  script(response: unknown): void {
    this.send(response, SCRIPT, 200, { 'Content-Type': 'text/javascript; charset=utf-8', ...KEPT });
  }

  /** Begins an answer that goes on. What middleware of the application has set stays, and no proxy may keep it back. */
  private stream(response: unknown, headers: Readonly<Record<string, string>>): ServerResponse {
    const raw = rawOf(response);
    if (isReply(response)) {
      for (const [name, value] of Object.entries(response.getHeaders()))
        if (value !== undefined) raw.setHeader(name, value);
      response.hijack();
    }
    const { 'Cache-Control': cached } = headers;
    const all = { ...HEADERS, ...headers, 'Cache-Control': `${cached}, no-transform`, 'X-Accel-Buffering': 'no' };
    // Otherwise the connection would stay open for a while after its end, and the application with it.
    raw.shouldKeepAlive = false;
    raw.writeHead(200, all);
    raw.flushHeaders();
    return raw;
  }

  private send(response: unknown, body: string, status: number, headers: Readonly<Record<string, string>>): void {
    const { httpAdapter } = this.host;
    for (const [name, value] of Object.entries({ ...HEADERS, ...headers }))
      httpAdapter.setHeader(response, name, value);
    httpAdapter.reply(response, body, status);
  }
}

const KEPT = { 'Cache-Control': 'private, max-age=31536000, immutable' };

const pageHeaders = (language: string): Record<string, string> => ({
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Language': language,
  'Cache-Control': 'no-store',
  Vary: 'Accept-Language',
});

/** The reply of Fastify, as far as it is needed here. */
interface Reply {
  readonly raw: ServerResponse;
  getHeaders(): Record<string, string | number | string[] | undefined>;
  hijack(): unknown;
}

const isReply = (response: unknown): response is Reply =>
  typeof (response as Reply).hijack === 'function' && (response as Reply).raw !== undefined;

/** The answer of Node, which Express has itself and Fastify keeps inside. */
const rawOf = (response: unknown): ServerResponse => (isReply(response) ? response.raw : (response as ServerResponse));
