import 'reflect-metadata';
import { arms } from './peers/index.js';
import { carried } from './peers/spark-bullmq.js';
import { workOff } from './working-off.js';

await workOff({ ...arms, ...carried });
