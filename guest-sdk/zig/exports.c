#include "nbdbox.h"
