import { Logger } from '@nestjs/common';
import { createApp, createWorker } from './app.js';
import { type Settings, settingsFrom, SettingsError } from './settings.js';
import { SampleSupporters } from './supporter/sample-supporters.js';

async function main(): Promise<void> {
  const settings = settingsFrom(process.env);
  if (settings.role === 'work' || settings.role === 'dispatch') await createWorker(settings);
  else await serve(settings);
  // The cluster that has started this process starts the next one then.
  process.send?.('ready');
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

async function serve(settings: Settings): Promise<void> {
  const app = await createApp(settings);
  try {
    await app.listen(settings.port);
  } catch (error) {
    await app.close();
    throw portIsTaken(error) ? portTaken(settings) : error;
  }
  await app.get(SampleSupporters).add(new Date());
  printAddresses(settings);
}

const portIsTaken = (error: unknown) => error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';

const portTaken = ({ port }: Settings) =>
  new SettingsError(`Port ${port} is taken by another program. Choose a free one, such as: PORT=3456 npm start`);

function printAddresses({ port, databaseName, smtpUrl, outbox }: Settings): void {
  const logger = new Logger('Challenges');
  logger.log(`REST API  http://localhost:${port}/challenges`);
  logger.log(`OpenAPI   http://localhost:${port}/api`);
  logger.log(`Dashboard http://localhost:${port}/spark/`);
  logger.log(`Mails     ${smtpUrl ? new URL(smtpUrl).host : outbox}`);
  logger.log(`Data      ${databaseName}`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof SettingsError ? error.message : error);
  process.exitCode = 1;
}
