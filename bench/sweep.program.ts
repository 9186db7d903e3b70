import 'reflect-metadata';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import type { DataSourceOptions } from 'typeorm';
import { application } from './application.js';
import { Handler, Order, ThreeEvents } from './entities.js';

// A process that sweeps when it is told to, as for a slot of its schedule, together with others. It tells when the sweep has ended.
const options = JSON.parse(process.argv[2]!) as DataSourceOptions;
// The schedule itself never sweeps during the measurement.
const sweep = { cron: `0 ${(new Date().getUTCHours() + 12) % 24} * * *`, timeZone: 'UTC' };
const given = { worker: false, live: false, sweep } as const;
const imports = [ScheduleModule.forRoot()];
const spark = await application('postgres', [Order], [ThreeEvents, Handler], given, [], options, imports);
spark.spark.sweeps$.subscribe(({ done }) => done && process.send!('swept'));
process.on('message', (message) => {
  if (message === 'end') void spark.close().then(() => process.exit());
  else void spark.app.get(SchedulerRegistry).getCronJob('spark-sweep').fireOnTick();
});
process.send!('ready');
