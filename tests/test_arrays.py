"""Which library an array is of."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from probe.arrays import array_namespace


def test_an_array_has_the_functions_of_its_library():
    assert array_namespace(np.zeros(2), np.ones(3)) is np
    found = array_namespace(torch.zeros(2)).concat([torch.zeros(2), torch.ones(1)])
    assert found.tolist() == [0, 0, 1]
    with pytest.raises(TypeError, match="Multiple namespaces"):
        array_namespace(np.zeros(2), torch.zeros(2))


def test_decoding_with_numpy_imports_no_wrapper_of_it():
    code = (
        "import sys, numpy as np\nfrom probe.aligners.grid import path_posterior\npath_posterior(np.zeros((1, 3, 3)))\n"
        "print(*(name for name in ('array_api_compat.numpy', 'numpy.f2py') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.split()
