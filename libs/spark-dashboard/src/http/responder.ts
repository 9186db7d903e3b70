import type { HttpAdapterHost } from '@nestjs/core';
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
    this.send(response, body, status, {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Language': language,
      'Cache-Control': 'no-store',
      Vary: 'Accept-Language',
    });
  }

  /** Sends the browser to another page. The address is relative to that of the request. */
  redirect(response: unknown, to: string, status: 303 | 307): void {
    this.send(response, '', status, { Location: to, 'Cache-Control': 'no-store' });
  }

  stylesheet(response: unknown): void {
    const headers = {
      'Content-Type': 'text/css; charset=utf-8',
      'Cache-Control': 'private, max-age=31536000, immutable',
    };
    this.send(response, STYLESHEET, 200, headers);
  }

  private send(response: unknown, body: string, status: number, headers: Readonly<Record<string, string>>): void {
    const { httpAdapter } = this.host;
    for (const [name, value] of Object.entries({ ...HEADERS, ...headers }))
      httpAdapter.setHeader(response, name, value);
    httpAdapter.reply(response, body, status);
  }
}
