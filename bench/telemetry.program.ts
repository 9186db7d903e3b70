import 'reflect-metadata';
import { instruments } from './instruments.js';
import { workOff } from './working-off.js';

await workOff(instruments);
