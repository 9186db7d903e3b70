// What libraries for logins call a person, the best name first.
const NAMES = ['name', 'username', 'email', 'sub', 'id'] as const;

/** Who has sent a request, as guards leave it in `request.user`: its name, username, email, sub or id. Undefined if there is none of these. */
export function userOf(request: unknown): string | undefined {
  const { user } = (request ?? {}) as { user?: unknown };
  if (typeof user === 'string') return user;
  if (typeof user !== 'object' || user === null) return undefined;
  const named = NAMES.map((name) => (user as Record<string, unknown>)[name]);
  const name = named.find((value) => (typeof value === 'string' && value !== '') || typeof value === 'number');
  return typeof name === 'number' ? String(name) : (name as string | undefined);
}
