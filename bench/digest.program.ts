import 'reflect-metadata';
import { digests } from './peers/digests.js';
import { workOff } from './working-off.js';

await workOff(digests);
