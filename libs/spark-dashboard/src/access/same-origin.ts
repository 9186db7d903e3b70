/** Reads a header of a request of Express or Fastify. */
export function headerOf(request: unknown, name: string): string | undefined {
  const value = (request as { headers?: Record<string, unknown> } | undefined)?.headers?.[name];
  return typeof value === 'string' ? value : undefined;
}

/**
 * Whether a page of the dashboard itself has sent the request. Browsers set this header, and no script can. It is missing in old
 * browsers, and on plain HTTP of other hosts than localhost: such writes are refused.
 */
export const isSameOrigin = (request: unknown): boolean => headerOf(request, 'sec-fetch-site') === 'same-origin';
