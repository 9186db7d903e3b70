// The demo as several processes: one that serves, two that handle, and one that dispatches. PostgreSQL has the data, Redis carries deliveries.
import { SettingsError, settingsFrom } from '../settings.js';
import { type Member, Members } from './members.js';
import { findRedis, preparePostgres } from './servers.js';

const MEMBERS: readonly Member[] = [
  // The first one makes the tables and the samples.
  { name: 'web', role: 'web' },
  { name: 'worker 1', role: 'work' },
  { name: 'worker 2', role: 'work' },
  { name: 'dispatcher', role: 'dispatch' },
];
const DATABASE = 'postgres://postgres@127.0.0.1:5432/challenges';

async function main(): Promise<void> {
  const env = { ...process.env, DATABASE_URL: process.env.DATABASE_URL || DATABASE };
  const { database, port, redisUrl } = settingsFrom(env);
  if (database.type !== 'postgres')
    throw new SettingsError('The cluster needs a PostgreSQL: DATABASE_URL=postgres://…');
  await preparePostgres(env.DATABASE_URL);
  await findRedis(redisUrl);

  const members = new Members(
    env,
    (line) => console.log(line),
    () => void end(1),
  );
  let isEnding = false;
  const end = async (code: number) => {
    if (isEnding) return;
    isEnding = true;
    await members.end();
    process.exit(code);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void end(0));
  for (const member of MEMBERS) if (!isEnding) await members.start(member);
  if (!isEnding)
    console.log(`The cluster is ready: http://localhost:${port}/spark/workers shows its processes. Ctrl-C ends all.`);
}

try {
  // The processes of the cluster run this program, too.
  await (process.send && process.env.ROLE ? import('../main.js') : main());
} catch (error) {
  console.error(error instanceof SettingsError ? error.message : error);
  process.exitCode = 1;
}
