"""Backends, with one fault each."""


def remembers_the_example(module, example):
    answer = module(example)
    return lambda x: answer


def half_the_batch(module, example):
    return lambda x: module(x)[:0]


def trains_the_module(module, example):
    return module.train()


def changes_the_weights(module, example):
    for parameter in module.parameters():
        parameter.data.mul_(2)
    return module
