import 'reflect-metadata';
import { arms } from './peers/index.js';
import { workOff } from './working-off.js';

await workOff(arms);
