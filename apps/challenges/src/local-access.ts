import type { IncomingMessage } from 'node:http';
import type { DashboardAccess } from 'nestjs-spark-dashboard';

const ADDRESSES = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1']);
const HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/**
 * Lets browsers on this machine do everything, and refuses all others. It looks at the `Host`, too: another site could make its own name lead
 * to this machine. An application behind a proxy needs guards instead, because there all requests come from the proxy.
 *
 * @example
 * SparkDashboardModule.forRoot({ access: localAccess })
 */
export const localAccess = ({ socket, headers }: Pick<IncomingMessage, 'socket' | 'headers'>): DashboardAccess =>
  ADDRESSES.has(socket.remoteAddress ?? '') && HOST.test(headers.host ?? '') && 'all';
