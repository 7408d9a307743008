import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { HeadgateStack } from './headgate-stack.js';
import { stackPropsFromContext } from './stack-context.js';

const app = new App();
new HeadgateStack(app, 'Headgate', stackPropsFromContext(app.node));
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
