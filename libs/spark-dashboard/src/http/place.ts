/** The part of an address below the dashboard, and what stands around it. */
export interface Place {
  /** The name of the page; empty for the overview. */
  readonly page: string;
  /** The whole path, without the search. */
  readonly path: string;
  /** With its `?`, or empty. */
  readonly search: string;
}

/** The place that a request asks for. */
export function placeOf(address: string, request: unknown): Place {
  const at = address.indexOf('?');
  const { page = '', '*': rest = page } = (request as { params?: Record<string, string> }).params ?? {};
  return {
    page: rest.replace(/\/$/, ''),
    path: at < 0 ? address : address.slice(0, at),
    search: at < 0 ? '' : address.slice(at),
  };
}

/**
 * Where a page is, if it is not there: links are relative, so the overview must end with a slash, and no other page may. The result is
 * relative to the address of the request.
 */
export function canonicalOf({ page, path, search }: Place, pages: ReadonlyMap<string, unknown>): string | undefined {
  const endsWithSlash = path.endsWith('/');
  if (page === '' && !endsWithSlash) return `./${path.slice(path.lastIndexOf('/') + 1)}/${search}`;
  if (page !== '' && endsWithSlash && pages.has(page)) return `../${page}${search}`;
  return undefined;
}
